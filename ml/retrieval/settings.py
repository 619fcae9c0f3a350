"""Hyper-parameters of the retriever."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml.candidates.settings import ITEMS_PER_DIRECTION
from ml.contract.errors import RecipeError
from ml.dataset.examples import TargetColumn
from ml.features.crosses import Cross, require_distinct
from ml.features.tower_inputs import VECTOR_DIM

ModelType = Literal["retrieval", "ranking", "multitask"]
RatingLoss = Literal["mse", "bce", "pairwise", "listwise"]
FEWEST_FACTORS = 8
"""Fewer say little more than popularity."""


class RetrieverSettings(BaseModel):
    """Two towers and a rating head: what they look like and how they learn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_type: ModelType = Field("multitask", description="Which losses are learned: towers, rating head, or both.")
    embedding_dim: int = Field(
        64, ge=2, le=1024, description="Numbers of query and candidate vectors that are learned."
    )
    factor_dim: int = Field(
        768,
        ge=0,
        le=1024,
        description="Further numbers of those vectors that are not learned: factors of the matrix of who chose what. 0: none.",
    )
    factor_weight: float = Field(
        3.0, gt=0, le=10, description="How much the factors' product counts beside the cosine of what is learned."
    )
    factor_training_share: float = Field(
        0.33,
        ge=0,
        le=1,
        description="So much of that weight counts while the rest is learned: factors are fitted to the very examples and look better there than "
        "they are.",
    )
    factor_numbers: int = Field(
        32_000_000,
        ge=0,
        description="Of all items together at most, four bytes each: a larger catalogue gets the largest power of two of factors that fits; none "
        "where that is fewer than 8. A small one never gets more than one for every eight items.",
    )
    tower_layers: tuple[int, ...] = Field((128,), description="Hidden widths of each tower.")
    rating_layers: tuple[int, ...] = Field((64,), description="Hidden widths of the rating head; needs at least one.")
    history_length: int = Field(20, ge=1, le=512, description="Newest events of the user that the query tower sees.")
    history_encoder: Literal["pooled", "self_attention"] = Field(
        "pooled",
        description="pooled: one weighted mean of the events, by kind, age, place and item. self_attention: the events look "
        "at each other first.",
    )
    weighted_history: bool = Field(
        False,
        description="Events of the history start with the weights of their kinds; a return speaks against its item.",
    )
    vector_dim: int = Field(
        VECTOR_DIM,
        ge=1,
        le=8_192,
        description="Numbers the towers see of each vector column of items: its leading principal directions.",
    )
    crosses: tuple[Cross, ...] = Field(
        (),
        description="Attributes whose values count together, beside category x price: `{columns: [category, brand], buckets: 1000}`. "
        "Of items category, sub_category, brand, seller_id, region, price; of users country, segment.",
    )
    start: Literal["random", "spectral"] = Field(
        "spectral", description="First vectors of items: drawn, or factors of the matrix of who chose what."
    )
    retrieval_loss: Literal["softmax", "triplet"] = Field(
        "softmax", description="softmax: which of all candidates was chosen. triplet: by how far it beats each rival."
    )
    temperature: float = Field(
        0.1, gt=0, le=10, description="Cosines of what is learned are divided by it before the softmax."
    )
    learn_temperature: bool = Field(False, description="`temperature` is where it starts; it is learned with the rest.")
    margin: float = Field(0.2, gt=0, le=2, description="Cosine a candidate must be ahead by in the triplet loss.")
    logq: Literal["none", "standard", "refined"] = Field(
        "standard",
        description="Correct the softmax for popular items being negatives more often. standard: candidates alike. "
        "refined: the chosen one was not drawn, so it alone stays as it is.",
    )
    uniform_negatives: int = Field(
        0, ge=0, le=65_536, description="Further negatives of each step, every known item as likely as any other."
    )
    cached_negatives: int = Field(
        0, ge=0, le=65_536, description="Further negatives of each step: the candidates of the steps before it."
    )
    hard_negatives: int = Field(
        0, ge=0, le=65_536, description="Only so many of each query's nearest negatives count; 0 means all."
    )
    retrieval_weight: float = Field(1.0, ge=0, description="Weight of the retrieval loss.")
    rating_loss: RatingLoss = Field(
        "mse",
        description="mse: squared error of the normalised target. bce: log loss of the target from 0 to 1. pairwise, listwise: "
        "only which of a step's targets is greater, for all pairs or at once; a straight line then gives back units.",
    )
    rating_weight: float = Field(0.1, ge=0, description="Weight of the rating loss.")
    conversion_weight: float = Field(0.1, ge=0, description="Weight of the log loss of 'led to a purchase'.")
    click_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the log loss of 'holds a view or a click', for shops that record purchases without; 0: no such head.",
    )
    target_column: TargetColumn = Field("amount", description="What the rating head predicts for a purchase.")
    user_id_dropout: float = Field(0.5, ge=0, lt=1, description="Share of examples whose user is shown as a stranger.")
    item_id_dropout: float = Field(
        0.1, ge=0, lt=1, description="Share of candidates shown as a new item: attributes alone."
    )
    history_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of examples whose user is shown as one who has done nothing yet."
    )
    factor_dropout: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of examples whose user is shown without factors: what is learned must do alone.",
    )
    example_decay_days: float = Field(
        0.0, ge=0, le=3650, description="An example counts less by a factor e every so many days; 0: all days alike."
    )
    epochs: int = Field(6, ge=1, le=1000, description="Passes over the examples.")
    carry_on_epochs: int = Field(2, ge=1, le=1000, description="Passes when training goes on from another retriever.")
    batch_size: int = Field(1024, ge=2, le=65_536, description="Examples per step; each is a negative of the others.")
    events_in_memory: int = Field(
        20_000_000,
        ge=0,
        description="The examples of a log of more events than this lie on disk and are shuffled a buffer at a time; "
        "of a smaller one they are in memory (about 0.3 GB per million) and shuffled exactly.",
    )
    optimizer: Literal["adam", "adagrad"] = Field(
        "adam", description="Both move only the rows a step looked up; adagrad keeps half as much beside the tables."
    )
    learning_rate: float = Field(
        0.005, gt=0, le=10, description="Peak; reached after the warm-up, then falls to 0 on a cosine."
    )
    top_k: int = Field(100, ge=1, le=10_000, description="Items the SavedModel's retrieval signature returns.")
    seed: int = Field(0, ge=0, lt=2**30, description="Of initial weights, order of examples and dropout.")

    @property
    def tower_dim(self) -> int:
        """Length of query and candidate vectors, learned numbers and factors together."""
        return self.embedding_dim + self.factor_dim

    def for_catalogue(self, num_items: int) -> Self:
        """The same, with as many factors as a catalogue of this size gets."""
        dim = self.factor_dim
        while dim and (dim * num_items > self.factor_numbers or dim * ITEMS_PER_DIRECTION > num_items):
            smaller = 1 << (dim - 1).bit_length() - 1  # the largest power of two below it
            dim = smaller if smaller >= FEWEST_FACTORS else 0
        return self.model_copy(update={"factor_dim": dim})

    @property
    def retrieves(self) -> bool:
        return self.model_type != "ranking"

    @property
    def rates(self) -> bool:
        return self.model_type != "retrieval"

    @property
    def num_answers(self) -> int:
        """Of the rating head: value, conversion and, where it is learned, click."""
        return 3 if self.click_weight else 2

    @model_validator(mode="after")
    def _losses_exist(self) -> Self:
        weights = {
            "retrieval": (self.retrieval_weight,),
            "ranking": (self.rating_weight, self.conversion_weight, self.click_weight),
            "multitask": (self.retrieval_weight, self.rating_weight, self.conversion_weight, self.click_weight),
        }[self.model_type]
        if not any(weights):
            raise RecipeError(
                f"`model_type: {self.model_type}` needs at least one loss weight above 0. Received: {weights}. "
                "Raise `retrieval_weight`, `rating_weight`, `conversion_weight` or `click_weight`."
            )
        if self.click_weight and not self.rates:
            raise RecipeError(
                f"`click_weight` needs a rating head. Received: `model_type: {self.model_type}`, click_weight {self.click_weight}. "
                "Leave `click_weight` out, or choose `multitask` or `ranking`."
            )
        return self

    @model_validator(mode="after")
    def _loss_uses_what_is_set(self) -> Self:
        if self.learn_temperature and not (
            self.retrieves and self.retrieval_weight and self.retrieval_loss == "softmax"
        ):
            raise RecipeError(
                "`learn_temperature` needs the softmax of `retrieval_loss: softmax`. "
                f"Received: `model_type: {self.model_type}`, retrieval_weight {self.retrieval_weight}, "
                f"`retrieval_loss: {self.retrieval_loss}`. Leave `learn_temperature` out, or learn that loss."
            )
        negatives = self.batch_size + self.uniform_negatives + self.cached_negatives
        if self.hard_negatives >= negatives:
            raise RecipeError(
                f"`hard_negatives` must be fewer than the {negatives} candidates of a step. Received: {self.hard_negatives}. "
                "Lower it, or raise `batch_size`, `uniform_negatives` or `cached_negatives`."
            )
        return self

    @model_validator(mode="after")
    def _rating_loss_is_learned(self) -> Self:
        if self.rating_loss != "mse" and not (self.rates and self.rating_weight):
            raise RecipeError(
                f"`rating_loss: {self.rating_loss}` needs a rating head that learns it. Received: "
                f"`model_type: {self.model_type}`, rating_weight {self.rating_weight}. Leave `rating_loss` out, choose "
                "`multitask` or `ranking`, or raise `rating_weight`."
            )
        return self

    @model_validator(mode="after")
    def _crosses_differ(self) -> Self:
        require_distinct(self.crosses)
        return self

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        if self.rates and not self.rating_layers:
            raise RecipeError(
                f"`model_type: {self.model_type}` needs `rating_layers`, for example [64]. Received: none. "
                "Name the widths, or set `model_type: retrieval`."
            )
        if any(width < 1 for width in (*self.tower_layers, *self.rating_layers)):
            raise RecipeError(
                f"Layer widths must be at least 1. Received: tower_layers {self.tower_layers}, rating_layers {self.rating_layers}. "
                "Leave a layer out instead of giving it no width."
            )
        return self
