"""What is true of chest X-rays and of classifiers: data, pixels, learning, statistics, analyses, reports."""
