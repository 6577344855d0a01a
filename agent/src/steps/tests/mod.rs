mod containers;
mod deaths;
mod images;
mod world;
