"""Files: photos, videos, tables, folders and the processes that read them."""
