"""The methods of layout: each takes a `Task` and gives positions; `engine.maps.layout` stores them."""
