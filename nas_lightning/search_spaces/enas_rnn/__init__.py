"""Recurrent cells (Pham et al. 2018, Efficient Neural Architecture Search, section 2.1)."""
