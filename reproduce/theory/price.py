"""What depth costs, in multiply-adds, where hidden layers are scalars and the output is one."""

from reproduce.claims import judge

EXAMPLES, FEATURES = 2565, 128  # of the paper's data
DEPTHS = (2, 3, 4, 8)
NEGLIGIBLE = 0.01


def computational_price():
    """The multiply-adds of an iteration that depth adds to those of one layer."""
    plain = one_layer(EXAMPLES, FEATURES)
    shares = {depth: added(depth, FEATURES) / plain for depth in DEPTHS}
    return judge(
        "with scalar hidden layers the computational toll of overparameterization is virtually "
        "non-existent",
        "Section 8; the authors' blog post and talk",
        f"at most {NEGLIGIBLE:.0%} more multiply-adds an iteration",
        ", ".join(f"N = {depth}: {share:.2%}" for depth, share in shares.items())
        + f" more ({EXAMPLES} examples of {FEATURES} features)",
        max(shares.values()) <= NEGLIGIBLE,
    )


def one_layer(examples, features):
    """Predictions, the gradient from the residuals, and the step."""
    return 2 * examples * features + features


def added(depth, features):
    """What the factors w_1, a vector, and w_2 ... w_N, scalars, add.

    The product, the gradient of w_1 from that of the product, the one that all scalars share, which
    is w_1 times it, and, of N - 1 scalars, the product of all the others, by products from the left
    and from the right; a step for each.
    """
    scalars = depth - 1
    return 3 * features + 5 * scalars
