"""The values of Analytics: events and what they have in common, figures, histograms, prices, steps in time, balances."""
