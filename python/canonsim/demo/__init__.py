"""The whole way on real encoders and real pictures, offline: ``canonsim demo``, or ``python -m canonsim.demo``.

`canonsim.demo.images.run` is the demonstration, `clipart/` its 1,200 pictures with captions.
"""
