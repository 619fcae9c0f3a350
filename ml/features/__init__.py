"""The same code in training and in a request: vocabularies, transforms, histories, tower inputs. NumPy and Arrow only."""
