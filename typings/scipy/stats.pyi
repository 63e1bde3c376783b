from collections.abc import Sequence

from numpy import ndarray

class _Result:
    statistic: float
    pvalue: float

def pearsonr(x: Sequence[float] | ndarray, y: Sequence[float] | ndarray) -> _Result: ...
def rankdata(a: Sequence[float]) -> ndarray: ...
def ttest_rel(a: Sequence[float], b: Sequence[float], *, alternative: str) -> _Result: ...
def wilcoxon(x: Sequence[float], *, alternative: str) -> _Result: ...
def ttest_ind_from_stats(
    mean1: float,
    std1: float,
    nobs1: int,
    mean2: float,
    std2: float,
    nobs2: int,
    equal_var: bool,
    alternative: str,
) -> _Result: ...
