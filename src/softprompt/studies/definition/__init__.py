"""What a study is: its file, its settings, and the grid of runs made from them."""
