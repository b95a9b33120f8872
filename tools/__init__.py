"""Programs that build and check the project; each needs what its first lines say."""
