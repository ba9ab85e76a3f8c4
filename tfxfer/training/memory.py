"""Says of a device that is out of memory which batch was tried, and which one should fit."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from tfxfer.display import size_text
from tfxfer.errors import OutOfMemoryError
from tfxfer.plans import Plan
from tfxfer.plans.memory import smaller_batch

# What XLA and the drivers of GPUs say where it is no ResourceExhaustedError.
_SAID = ("resource_exhausted", "out of memory")


@contextlib.contextmanager
def explained(plan: Plan) -> Iterator[None]:
    """Makes of a device's want of memory an error that says what to type instead.

    Raises:
        OutOfMemoryError: a batch did not fit, in training, filling, measuring or evaluating.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not isinstance(error, tf.errors.ResourceExhaustedError) and not _is_meant(str(error)):
            raise
        raise OutOfMemoryError(_text(plan)) from error


def _text(plan: Plan) -> str:
    batch, how = plan.what.batch_size, plan.how
    share = f" ({how.per_replica_batch} on each of {len(how.devices)} devices)" if len(how.devices) > 1 else ""
    limit, estimate = _peak(), max(how.step_bytes, default=0)
    said = f"a batch of {batch}{share} does not fit into the memory of {', '.join(how.devices)}"
    if estimate:
        said += f"; the plan expected about {size_text(estimate)} for a step on each"
    if limit:
        said += f", and {size_text(limit)} were in use at most"
    fewest = len(how.devices)
    smaller = smaller_batch(batch, estimate=estimate, limit=limit)
    if smaller < fewest or smaller >= batch:
        return f"{said}. No smaller batch is left: write a smaller --image_size, or train fewer layer groups."
    return f"{said}. Write --batch_size={smaller}" + (
        ", or --precision=mixed_bfloat16." if plan.what.precision == "float32" and limit else "."
    )


def _peak() -> int:
    """Returns the most bytes that were in use on the first GPU; 0 on a machine without one."""
    if not tf.config.list_logical_devices("GPU"):
        return 0
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def _is_meant(message: str) -> bool:
    return any(words in message.lower() for words in _SAID)
