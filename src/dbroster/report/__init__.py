"""What a run tells: text, JSON, Markdown, the closing table, progress."""
