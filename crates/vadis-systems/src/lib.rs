//! The anomaly detection systems of vadis, one folder each.
