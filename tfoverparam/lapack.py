"""How NumPy's linear algebra runs on the host."""

import functools

import threadpoolctl


def one_thread():
    """A context in which BLAS and LAPACK use one thread.

    Their threads wait for each other thousands of times in a decomposition, which gains little
    where cores are idle, and takes ten times as long where they are not.
    """
    return _thread_pools().limit(limits=1, user_api="blas")


@functools.lru_cache(maxsize=1)
def _thread_pools():
    return threadpoolctl.ThreadpoolController()
