"""The builder, on a few invented lines."""

from unittest import mock

import tensorflow_datasets as tfds

from tfoverparam.datasets.gas_sensor_drift import gas_sensor_drift_dataset_builder as module

COUNTS = dict(zip(module.GASES, (3, 1, 1, 1, 1, 1)))


class GasSensorDriftTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = module.Builder
    SPLITS = {"train": 3}
    BUILDER_CONFIG_NAMES_TO_TEST = ["ethanol"]

    def setUp(self):
        super().setUp()
        self.enter_context(mock.patch.dict(module.COUNTS, COUNTS))


class AllGasesTest(GasSensorDriftTest):
    SPLITS = {"train": 8}
    BUILDER_CONFIG_NAMES_TO_TEST = ["all"]


if __name__ == "__main__":
    tfds.testing.test_main()
