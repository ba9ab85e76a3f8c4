"""The source `tfds:`: data sets of `tensorflow_datasets`, downloaded at first use and read once."""

import numpy as np

from tfxfer.data import splits
from tfxfer.data.examples import Found
from tfxfer.data.pictures import Arrays
from tfxfer.errors import ConfigError, DataError

_SPLIT_NAMES = {
    "train": splits.TRAIN,
    "validation": splits.VALIDATION,
    "valid": splits.VALIDATION,
    "test": splits.TEST,
}


def find(name: str) -> Found:
    """Returns the examples of a data set with supervised keys `image` and `label`.

    Its own splits train, validation and test are kept.

    Raises:
        ConfigError: no such data set.
        DataError: it cannot be downloaded, or is not one of labelled images.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name)
    except tfds.core.DatasetNotFoundError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"tensorflow_datasets has no data set {name!r} ({reason}). See tfds.list_builders()."
        ) from error
    features = builder.info.features
    if not isinstance(features, dict | tfds.features.FeaturesDict) or not {"image", "label"} <= set(features):
        raise DataError(f"tfds:{name} has no features image and label: it is not a set of labelled images.")
    if not isinstance(features["label"], tfds.features.ClassLabel):
        raise DataError(f"the label of tfds:{name} is no class, but {features['label']}.")
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise DataError(
            f"tfds:{name} could not be downloaded ({error}). Prepare it on a machine with network, and set "
            "TFDS_DATA_DIR to the folder."
        ) from error
    pictures, labels, codes = [], [], []
    for split, code in _SPLIT_NAMES.items():
        if split not in builder.info.splits:
            continue
        for example in tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)):
            image = example["image"]
            pictures.append(np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3])
            labels.append(example["label"])
            codes.append(code)
    ready = np.array(codes, np.int8)
    return Found(
        f"tfds:{name}",
        Arrays(pictures),
        np.array(labels, np.int32),
        tuple(features["label"].names),
        ready if len(set(codes)) > 1 else None,
    )
