//! Frame differencing, background subtraction and optical flow of vadis.
