"""How good a ranked list was, judged by what people did next. Knows lists and outcomes; never trains, never serves."""
