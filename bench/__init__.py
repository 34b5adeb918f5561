"""What is measured. Figures are printed, never asserted."""
