"""How complete the data is: spans in which each feed and source was live."""
