//! Plots and the HTML report of vadis.
