"""Text from models: processors of scores, criteria that end it, streams of what was written."""
