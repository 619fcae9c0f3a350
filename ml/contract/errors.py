"""Every error of Aisle's own. Each message says what was expected, what was received and the remedy.

AisleError
├── ContractError          a caller broke a stated promise (types, ranges, time zones)
│   └── RecipeError        a recipe that cannot work
├── DataError              the data cannot be used as it is
│   ├── MappingError       the mapping file and the source do not fit
│   └── LeakageError       something later looks ahead of its time
├── BundleError            a release bundle is not what its manifest says
├── PlatformError          this process's settings and what it finds there do not fit
├── ReleaseError           publishing, promoting or rolling back failed
├── FeedbackError          the feedback log cannot be written or read right now
├── OnlineStoreError       the store of visits is away; lists are made of what the bundle knows
├── StorageError           an object store is away, or what it holds is not what was put there
│   └── PreconditionError  somebody else wrote the object first
└── UnknownItemError       a request names an item the bundle does not hold
"""


class AisleError(Exception):
    """Root of the tree: catching it catches everything Aisle raises on purpose."""


class ContractError(AisleError, ValueError):
    """A caller broke a stated promise."""


class RecipeError(ContractError):
    """A recipe's parts do not fit each other."""


class DataError(AisleError):
    """The data cannot be used as it is."""


class MappingError(DataError):
    """The mapping file and the source it describes do not fit."""


class LeakageError(DataError):
    """A row would show a model something it could not have known."""


class BundleError(AisleError):
    """A release bundle is incomplete, altered or of another format."""


class PlatformError(AisleError):
    """The settings of this process and what it finds in its home folder, or on its platform, do not fit."""


class ReleaseError(AisleError):
    """Publishing, promoting or rolling back a release failed; what was live stays live."""


class FeedbackError(AisleError):
    """The feedback log cannot be written or read right now; what was asked for was not acknowledged and may be asked again."""


class OnlineStoreError(AisleError):
    """The store of visits does not answer; it holds copies only, so lists are staler and nothing is lost."""


class StorageError(AisleError):
    """An object store cannot be reached, refuses, or holds something else than was put there."""


class PreconditionError(StorageError):
    """The object is not at the generation it was read at: somebody else wrote it first. Nothing was overwritten."""


class UnknownItemError(AisleError, KeyError):
    """The bundle holds no such item."""

    def __str__(self) -> str:
        return str(self.args[0])
