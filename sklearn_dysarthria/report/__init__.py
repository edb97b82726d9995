"""Compare models patient by patient, and put the result on paper."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "_compare": ["compare"],
        "_comparison": ["Comparison"],
        "_evaluation": ["evaluate_held_out", "positive_class"],
        "_methods": ["METHODS", "PARTS", "PRESETS", "build_methods", "check_methods"],
        "_metrics": ["METRICS", "PatientMetrics", "chance_level"],
        "_scorers": ["check_scoring"],
    },
)
