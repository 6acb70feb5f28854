"""Every line that ends in a comment is a mistake, which mypy reports."""

import keras

import tfoverparam
from tfoverparam import BalanceMonitor, EndToEnd, FactorizedConv2D, FactorizedDense
from tfoverparam import initializers, matrix_functions

model = keras.Sequential([])

tfoverparam.overparameterize(model, depth="two")  # arg-type
tfoverparam.overparameterize(model, filter="logits")  # arg-type
tfoverparam.overparameterize(model, dept=2)  # call-arg
tfoverparam.summary(model, print_fn=1)  # arg-type
FactorizedDense("ten")  # arg-type
FactorizedDense(10, depth="two")  # arg-type
FactorizedConv2D(4, "three")  # arg-type
EndToEnd("sgd", depth="two")  # arg-type
EndToEnd("sgd", refresh_every=0.5)  # arg-type
BalanceMonitor(every="x")  # arg-type
BalanceMonitor(logs="some")  # arg-type
initializers.NearZero("small")  # arg-type
matrix_functions.balanced_factors(1.0, depth="two")  # arg-type
number: int = tfoverparam.linear_maps(model)[0].path  # assignment
