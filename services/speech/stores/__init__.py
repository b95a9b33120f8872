"""The adapter that keeps the promises of `ConversionStore` on PostgreSQL: generations, conversions, removals and the books, a file each."""
