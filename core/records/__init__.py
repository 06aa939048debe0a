"""Training records: samples and their labels, in RecordIO files."""
