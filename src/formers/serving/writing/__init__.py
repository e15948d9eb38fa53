"""Chats, responses and texts that are gone on with, under the paths and in the formats of the OpenAI API."""
