"""The source `hub:`: TF Hub modules and other SavedModels, as layers that train, freeze and save like any of Keras."""
