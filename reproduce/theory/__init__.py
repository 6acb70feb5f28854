"""The paper's theory, statement by statement: a table with a number and a verdict for each.

    python -m reproduce.theory

Every number is computed in float64, from fixed seeds, without data. Where the library has a
function for what a statement is about, that function is what is checked. Equations are numbered
as in the published paper, lemmas as in the proofs of its first version. W is the paper's
end-to-end matrix; the code works on its transpose, the kernel.
"""
