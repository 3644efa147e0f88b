"""Random access to the encoded images of a prepared data set."""

from typing import NamedTuple

from dm_jax.data import tfds_builders


class Record(NamedTuple):
    """One example as stored on disk.

    Attributes:
      image: the encoded file, JPEG or PNG.
      label: its class.
      key: its name in errors.
    """

    image: bytes
    label: int
    key: str


class Records:
    """A split of a prepared TFDS data set with random access; can be pickled for workers.

    Args:
      name: TFDS name: "clothing1m", "mars", "imagenette/full-size".
      split: "train", "test", "train[:10%]", …
      data_dir: where TFDS keeps it.

    Raises:
      FileNotFoundError: if it is not prepared; names the command.
      ValueError: TFDS does not know it, or it is not an image classification data set.
    """

    def __init__(self, name: str, split: str, data_dir: str | None = None):
        import tensorflow_datasets as tfds

        builder = tfds_builders.open_prepared(name, data_dir)
        self._image, self._label = tfds_builders.supervised_features(builder)
        self.class_names = tuple(builder.info.features[self._label].names)
        self.num_classes = len(self.class_names)
        self._title = f"{name} {split}"
        raw = tfds.core.decode.DeserializeMethod.RAW_BYTES
        # The reader below TFDS's own: it can be pickled for workers, and TFDS takes longer to
        # unpack an example than Pillow to decode a small image.
        self._source = builder.as_data_source(split, deserialize_method=raw).data_source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Record:
        from tensorflow_datasets.proto import tf_example_pb2

        feature = tf_example_pb2.Example.FromString(self._source[index]).features.feature
        key = f"{self._title}[{index}]"
        if "key" in feature:
            key = f"{key} {feature['key'].bytes_list.value[0].decode()}"
        image = feature[self._image].bytes_list.value[0]
        return Record(image, feature[self._label].int64_list.value[0], key)
