"""Decompositions that run beside each other."""

import threading

import pytest
import threadpoolctl
from tfoverparam import lapack


def threads_of_blas():
    pools = threadpoolctl.threadpool_info()
    return [each["num_threads"] for each in pools if each["user_api"] == "blas"]


def test_results_are_in_order_and_few_are_asked_for_ahead(monkeypatch):
    monkeypatch.setattr(lapack, "THREADS", 2)
    before, asked, seen = threads_of_blas(), [], []
    together = threading.Barrier(2, timeout=30)

    def function(index):
        together.wait()  # for the other thread
        seen.extend(threads_of_blas())
        return index

    def functions():
        for index in range(6):
            asked.append(index)
            yield lambda index=index: function(index)

    with lapack.results_of(functions()) as results:
        for index, result in enumerate(results):
            assert result == index
            assert len(asked) <= index + 2
    assert len(asked) == 6
    assert set(seen) == {1}
    assert threads_of_blas() == before


def test_an_error_ends_it():
    before = threads_of_blas()
    with pytest.raises(ZeroDivisionError), lapack.results_of([int, lambda: 1 / 0, int]) as results:
        list(results)
    assert threads_of_blas() == before
