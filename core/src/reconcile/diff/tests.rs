//! Comparisons without a kernel.
