"""The adapter that keeps the promises of `ImageStore` on PostgreSQL: generations, images, filings and the books, a file each."""
