"""Rolling straight-line fits."""

from __future__ import annotations

import math

from alphafoundry.expressions.kernels.compilation import FloatPanel, kernel


@kernel
def rolling_regression(  # noqa: PLR0912, PLR0915
    y: FloatPanel,
    x: FloatPanel,
    d: int,
    lag: float,
    rettype: float,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with a result of the least-squares line y = a + b * x(lag rows ago) over d rows.

    rettype : 0 error of today, 1 a, 2 b, 3 estimate of today, 4 sum of squared errors, 5 total
        sum of squares of y, 6 R2, 7 sum of squared errors over (n - 2), 8 and 9 standard errors
        of b and a
    Pairs with a NaN are left out. NaN before d + lag rows are there, with fewer than two pairs
    (three for 7, 8, 9), and where the valid x are all equal. Values are taken relative to the
    first valid pair, so equal ones cancel exactly.
    """
    behind = int(lag)
    kind = int(rettype)
    for j in range(first, last):
        for t in range(x.shape[0]):
            out[t, j] = math.nan
            if t < d - 1 + behind:
                continue
            count = 0
            base_x = 0.0
            base_y = 0.0
            sum_x = 0.0
            sum_y = 0.0
            for i in range(t - d + 1, t + 1):
                a = x[i - behind, j]
                b = y[i, j]
                if math.isnan(a) or math.isnan(b):
                    continue
                if count == 0:
                    base_x = a
                    base_y = b
                count += 1
                sum_x += a - base_x
                sum_y += b - base_y
            if count < 2:
                continue
            mean_x = sum_x / count
            mean_y = sum_y / count
            xx = 0.0
            yy = 0.0
            xy = 0.0
            for i in range(t - d + 1, t + 1):
                a = x[i - behind, j]
                b = y[i, j]
                if math.isnan(a) or math.isnan(b):
                    continue
                gap_x = a - base_x - mean_x
                gap_y = b - base_y - mean_y
                xx += gap_x * gap_x
                yy += gap_y * gap_y
                xy += gap_x * gap_y
            if kind == 5:
                out[t, j] = yy
                continue
            if xx == 0.0:
                continue
            slope = xy / xx
            level = base_y + mean_y
            estimate = level + slope * (x[t - behind, j] - base_x - mean_x)
            if kind == 0:
                out[t, j] = y[t, j] - estimate
            elif kind == 1:
                out[t, j] = level - slope * (base_x + mean_x)
            elif kind == 2:
                out[t, j] = slope
            elif kind == 3:
                out[t, j] = estimate
            else:
                errors = 0.0
                for i in range(t - d + 1, t + 1):
                    a = x[i - behind, j]
                    b = y[i, j]
                    if not math.isnan(a) and not math.isnan(b):
                        gap = (b - base_y - mean_y) - slope * (a - base_x - mean_x)
                        errors += gap * gap
                if kind == 4:
                    out[t, j] = errors
                elif kind == 6:
                    out[t, j] = 1.0 - errors / yy if yy > 0.0 else math.nan
                elif count > 2:
                    spread = errors / (count - 2)
                    middle = base_x + mean_x
                    if kind == 7:
                        out[t, j] = spread
                    elif kind == 8:
                        out[t, j] = math.sqrt(spread / xx)
                    else:
                        out[t, j] = math.sqrt(spread * (1.0 / count + middle * middle / xx))
