//! Networks, losses and weight files of vadis.
