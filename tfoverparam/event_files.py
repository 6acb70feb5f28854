"""Event files for TensorBoard, written without TensorFlow."""

import time


class EventFiles:
    """Writes scalars, and a histogram of singular values, into event files.

    Args:
        log_dir: Folder, which is created.

    Raises:
        ImportError: If TensorBoard is not installed.
    """

    def __init__(self, log_dir):
        try:
            from tensorboard.compat.proto import event_pb2
            from tensorboard.plugins.histogram.summary_v2 import histogram_pb
            from tensorboard.plugins.scalar.summary_v2 import scalar_pb
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise ImportError(
                "BalanceMonitor(log_dir=...) needs TensorBoard: pip install tensorboard"
            ) from error
        self._event, self._histogram, self._scalar = event_pb2.Event, histogram_pb, scalar_pb
        self._writer = EventFileWriter(str(log_dir), filename_suffix=".balance")

    def write(self, name, report, singular_values, step):
        summaries = [self._scalar(f"{name}/{what}", value) for what, value in report.items()]
        summaries.append(self._histogram(f"{name}/singular_values", singular_values))
        for each in summaries:
            event = self._event(step=step, wall_time=time.time(), summary=each)
            self._writer.add_event(event)

    def flush(self):
        self._writer.flush()
