"""
Figures about this machine, taken through the public interface.
"""
