"""Run a search: `python train.py search_space=enas_rnn controller=lstm`.

Fish completes its arguments because it finds @hydra.main here.
"""

from nas_lightning.commands.train import main

if __name__ == "__main__":
    main()
