"""Models: protocols, families, search, evaluation, votes, and the predictor they end in.

The stub beside this file says what there is and where. A name is imported when it is asked for: ingestion
takes the splits of this package and would wait for every model of scikit-learn.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
