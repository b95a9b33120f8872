"""What services share about the providers of their models: how they fail, and how a catalog's file is read; needs nothing else."""
