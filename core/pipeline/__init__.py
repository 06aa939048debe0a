"""The whole recipe of training as one resumable command."""
