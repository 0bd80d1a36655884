"""What a proposition's judgments come to: methods, the random-effects fit, renewal, recalibration's evidence."""
