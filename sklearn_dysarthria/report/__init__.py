"""Compare models patient by patient, and put the result on paper."""

from sklearn_dysarthria._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "_compare": ["compare"],
        "_comparison": ["Comparison"],
        "_methods": ["METHODS", "build_methods", "check_methods"],
        "_metrics": ["METRICS", "PatientMetrics", "chance_level"],
    },
)
