"""
Figures about this machine, taken through the public interface with defaults and fresh directories. Every measurement
that names two processes runs two processes; a third one does nothing but watch how quiet the machine is.
"""
