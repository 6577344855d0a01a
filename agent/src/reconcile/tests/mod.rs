mod containers;
mod host;
mod images;
mod wakes;
