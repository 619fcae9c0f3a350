"""What was shown and what people did: written down before it is acknowledged. It knows rows; it makes no lists and keeps no state of a visit."""

from serving.feedback.log import FeedbackLog
from serving.feedback.records import Interaction, ShownItem, ShownList

__all__ = ["FeedbackLog", "Interaction", "ShownItem", "ShownList"]
