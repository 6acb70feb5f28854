"""How NumPy's linear algebra runs on the host."""

import collections
import concurrent.futures
import contextlib
import functools
import os

import threadpoolctl

# Each of them works in several times the memory of a kernel.
THREADS = min(2, os.cpu_count() or 1)


def one_thread():
    """A context in which BLAS and LAPACK use one thread.

    Their threads wait for each other thousands of times in a decomposition, which gains little
    where cores are idle, and takes ten times as long where they are not.
    """
    return _thread_pools().limit(limits=1, user_api="blas")


@contextlib.contextmanager
def results_of(functions):
    """A context with an iterator over what `functions` of nothing return, in their order.

    A few of them run beside each other, each with BLAS and LAPACK in one thread of its own. The
    next one is asked for when there is a thread for it.
    """
    with one_thread(), concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        yield _in_order(functions, pool)


def _in_order(functions, pool):
    running: collections.deque[concurrent.futures.Future] = collections.deque()
    for function in functions:
        running.append(pool.submit(function))
        if len(running) == THREADS:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


@functools.lru_cache(maxsize=1)
def _thread_pools():
    return threadpoolctl.ThreadpoolController()
