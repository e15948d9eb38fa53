"""PreTrainedModel: loading, saving, vocabulary, fresh values."""
