"""Which backbones there are: `listing` of all without TensorFlow, `description` of one, and what both look like."""
